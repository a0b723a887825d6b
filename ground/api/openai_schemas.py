"""What `/v1/chat/completions` takes, in the words of OpenAI's API; what it cannot do is refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ground.question import Assurance


class TextPart(BaseModel):
    """A part of a message's content; only text can be uplinked."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat completion. `scene`, `thinking`, `top_k`, `time_budget_s`, `ttl_s` and `assurance` are ours."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "model": "cadet@latest",
                "messages": [{"role": "user", "content": "How many vessels are dark?"}],
            }
        },
    )

    model: str = Field(description="Any name: one model is on board. `NAME@SCENE` chooses the scene.")
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=65535)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=65535)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(default=None, description="Default 0: greedy.")
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=65535)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    n: Literal[1] | None = None
    scene: str | None = None
    thinking: bool = False
    time_budget_s: Annotated[int, Field(ge=0, le=65535)] = 0
    ttl_s: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    assurance: Assurance = Assurance.AS_SET

    @property
    def unsupported(self) -> list[str]:
        """Names of settings that would change the answer and that the spacecraft cannot honour."""
        refused = {
            "tools", "functions", "tool_choice", "function_call", "stop", "logprobs", "top_logprobs", "logit_bias",
            "audio", "modalities", "prediction", "frequency_penalty", "presence_penalty",
        }  # fmt: skip
        asked = {name for name, value in (self.model_extra or {}).items() if name in refused and value}
        form: Any = (self.model_extra or {}).get("response_format")
        if isinstance(form, dict) and form.get("type", "text") != "text":
            asked.add("response_format")
        return sorted(asked)
