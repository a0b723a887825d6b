"""What is wrong with a dictionary file, said to the person who edits it."""

from spacelink.errors import SpacelinkError


class DictionaryError(SpacelinkError):
    """A dictionary file breaks the schema of `spacelink/README.md`; the sentence names the file and the entry."""

    def __init__(self, file: str, entry: str, problem: str) -> None:
        super().__init__(f"{file}, {entry}: {problem}." if entry else f"{file}: {problem}.")
        self.file = file
        self.entry = entry
        self.problem = problem
