// Small helpers. Text is only ever set as text: what a model writes is not trusted.

export const find = (id) => document.getElementById(id);

export function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== "") node.textContent = text;
  return node;
}

export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function mark(node, className) {
  if (node.className !== className) node.className = className;
}

export const time = (iso) => (iso ? `${iso.slice(11, 19)}Z` : "–");

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  return `T-${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
