// One query: legs, verdict, text. Solid = evidence, hatched = expected, grey = last known while nothing can be heard.
import { make, mark, put, time } from "./dom.js";

const SHOWN = ["QUEUED", "ACCEPTED", "PREFILL", "DECODE", "CHECKING", "ONBOARD_DONE", "DOWNLINKING", "DELIVERED"];
const LABEL = { ONBOARD_DONE: "DONE ON BOARD" };
const BAD = ["REJECTED", "FAILED", "EXPIRED", "CANCELLED"];
const SEAL = { AUTHENTIC: "normal", ALTERED: "critical", INCOMPLETE: "standby", UNKNOWN_KEY: "serious", NO_KEY: "standby", UNSIGNED: "caution" };
const SEAL_LABEL = { AUTHENTIC: "signed", ALTERED: "ALTERED", INCOMPLETE: "text not all here", UNKNOWN_KEY: "unknown key", NO_KEY: "signature not checked", UNSIGNED: "not signed" };
const VERDICT = { VERIFIED: "normal", UNCHECKED: "standby", UNVERIFIED: "serious" };

function cellText(query, leg) {
  if (leg === "DECODE" && query.tokens) return `DECODE ${query.tokens}`;
  if (leg === "PREFILL" && query.leg === "PREFILL" && query.prompt_tokens) return `PREFILL ${Math.round((100 * query.prefill_done) / query.prompt_tokens)}%`;
  if (leg === "DOWNLINKING" && query.segments.total !== null) return `DOWNLINK ${query.segments.have}/${query.segments.total}`;
  return LABEL[leg] ?? leg;
}

function cellClass(query, leg, silent) {
  const ended = BAD.includes(query.leg) || query.leg === "DELIVERED";
  if (leg === query.leg) {
    if (leg === "DELIVERED") return "leg end";
    if (BAD.includes(leg)) return "leg bad";
    return silent ? "leg stale" : "leg here";
  }
  if (query.times[leg]) return "leg solid";
  return ended ? "leg" : "leg hatched";
}

function cellTitle(query, leg) {
  const proof = query.evidence[leg];
  if (!proof) return `${leg}: no evidence`;
  const packet = proof.packet ? `${proof.packet} (${proof.service},${proof.subtype}), packet ${proof.sequence}` : "the ground itself";
  const spent = query.legs[leg] === undefined ? "" : `\n${query.legs[leg].toFixed(3)} s in this leg`;
  return `${leg}\n${proof.time}\nby ${packet}\nhere at ${proof.received}${spent}`;
}

export class QueryCard {
  constructor(onCancel) {
    this.root = make("li", "query");
    const top = make("div", "top");
    this.question = make("p", "question");
    this.verdict = make("span", "badge");
    this.verdictMark = make("span", "status");
    this.verdictText = make("span");
    this.verdict.append(this.verdictMark, this.verdictText);
    this.seal = make("span", "badge");
    this.sealMark = make("span", "status");
    this.sealText = make("span");
    this.seal.append(this.sealMark, this.sealText);
    this.id = make("span", "id");
    this.cancel = make("button", "quiet", "cancel");
    this.cancel.type = "button";
    this.cancel.addEventListener("click", () => onCancel(this.query.id));
    top.append(this.question, this.verdict, this.seal, this.id, this.cancel);
    this.legs = make("div", "legs");
    this.cells = new Map();
    this.line = make("div", "line");
    this.thinking = make("p", "thinking");
    this.answer = make("p", "answer");
    this.reason = make("p", "reason");
    this.findings = make("p", "findings");
    this.root.append(top, this.legs, this.line, this.thinking, this.answer, this.findings, this.reason);
  }

  show(query, silent) {
    this.query = query;
    const bad = BAD.includes(query.leg);
    const delivered = query.leg === "DELIVERED";
    mark(this.root, `query ${delivered ? "delivered" : bad ? "bad" : "open"}`);
    put(this.question, query.question);
    put(this.id, query.id.slice(0, 8));
    this.id.title = query.id;
    // The station gives no verdict where the receipt speaks of something else than what stands here.
    const altered = query.sealed?.seal === "ALTERED";
    const proven = query.sealed?.seal === "AUTHENTIC";
    mark(this.verdictMark, `status ${proven ? VERDICT[query.verdict] ?? "" : query.verdict ? "standby" : ""}`);
    mark(this.verdictText, altered ? "dim" : "");
    const why = query.verdict ? query.receipt?.verdict_reason ?? "none" : "none";
    put(this.verdictText, (query.verdict ?? (query.sealed ? "no verdict" : "no receipt")) + (why === "none" ? "" : ` (${why})`));
    this.verdict.title = query.findings.join("\n");
    this.seal.hidden = !query.sealed;
    if (query.sealed) {
      mark(this.sealMark, `status ${SEAL[query.sealed.seal] ?? ""}`);
      put(this.sealText, SEAL_LABEL[query.sealed.seal] ?? query.sealed.seal);
      this.seal.title = query.sealed.sentence;
    }
    put(this.findings, query.findings.join(" "));
    this.findings.hidden = !query.findings.length;
    this.cancel.hidden = delivered || bad;
    this.cancel.disabled = query.cancelling;
    put(this.cancel, query.cancelling ? "cancelling" : "cancel");
    const legs = bad ? [...SHOWN.filter((leg) => query.times[leg]), query.leg] : SHOWN;
    for (const [leg, cell] of this.cells) {
      if (!legs.includes(leg)) {
        cell.remove();
        this.cells.delete(leg);
      }
    }
    for (const leg of legs) {
      if (!this.cells.has(leg)) {
        this.cells.set(leg, make("span"));
        this.legs.append(this.cells.get(leg));
      }
      const cell = this.cells.get(leg);
      mark(cell, cellClass(query, leg, silent || query.wait_aos));
      put(cell, cellText(query, leg));
      cell.title = cellTitle(query, leg);
    }
    put(this.line, this.facts(query).join(" · "));
    put(this.thinking, query.thinking);
    this.thinking.hidden = !query.thinking;
    const text = delivered ? query.answer : query.partial;
    put(this.answer, text);
    mark(this.answer, delivered ? "answer" : "answer partial");
    this.answer.hidden = !text;
    put(this.reason, [bad ? `${query.leg}: ${query.reason}` : "", altered ? query.sealed.sentence : ""].filter(Boolean).join(" · "));
    this.reason.hidden = !bad && !altered;
  }

  facts(query) {
    const facts = [time(query.created)];
    if (query.scene) facts.push(`scene ${query.scene}`);
    if (query.wait_aos) facts.push("WAIT AOS");
    if (query.state && query.verdict === null) facts.push(`on board: ${query.state}`);
    if (query.tokens) facts.push(`${query.tokens} tokens`);
    if (query.tokens_per_s && query.verdict === null) facts.push(`${query.tokens_per_s.toFixed(1)} tok/s`);
    if (query.onboard) facts.push(`decode ${query.onboard.decode_s.toFixed(2)} s`);
    if (query.segments.have || query.segments.total) facts.push(`segments ${query.segments.have}/${query.segments.total ?? "?"}`);
    if (query.bytes.scene) facts.push(`scene ${query.bytes.scene} B`);
    facts.push(`up ${query.bytes.up} B`, `down ${query.bytes.down} B`);
    if (query.uplinks > 1) facts.push(`${query.uplinks} uplinks`);
    if (query.model) facts.push(query.model);
    facts.push(`${query.total_s.toFixed(1)} s`);
    if (query.heard && query.verdict === null) facts.push(`heard ${time(query.heard)}`);
    return facts;
  }
}
