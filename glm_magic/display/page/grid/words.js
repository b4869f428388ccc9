// Word-by-word differences, as in differences.py: pieces that stayed, went or came.

const SIGNS = "\\u2e80-\\u9fff\\uac00-\\ud7a3\\uf900-\\ufaff\\uff00-\\uffef\\u{20000}-\\u{3ffff}"; // scripts without spaces
const WORD = new RegExp(`\\s+|[${SIGNS}]|[^\\s${SIGNS}]+`, "gu");
const LEAST_ALIKE = 0.3; // of the words, for a comparison word by word to be worth reading
const MOST_PAIRS = 2_000_000; // of words to compare; beyond, all between the common ends is one change

function differences(before, after) {
  const old = before.match(WORD) ?? [];
  const now = after.match(WORD) ?? [];
  let start = 0;
  while (start < old.length && start < now.length && old[start] === now[start]) start++;
  let end = 0;
  while (end < old.length - start && end < now.length - start && old.at(-1 - end) === now.at(-1 - end)) end++;
  const pieces = [];
  const add = (kind, words) => {
    const text = words.join("");
    if (!text) return;
    if (pieces.at(-1)?.kind === kind) pieces.at(-1).text += text;
    else pieces.push({ kind, text });
  };
  add("same", old.slice(0, start));
  between(old.slice(start, old.length - end), now.slice(start, now.length - end), add);
  add("same", end ? old.slice(-end) : []);
  return pieces;
}

const weight = (word) => (/^\s/.test(word) ? 0 : 1);
const weights = (words) => words.reduce((sum, word) => sum + weight(word), 0);

// The longest common subsequence of words.
function between(old, now, add) {
  const width = now.length + 1;
  if (old.length * now.length > MOST_PAIRS || !old.length || !now.length) {
    add("out", old);
    add("in", now);
    return;
  }
  const longest = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      const at = i * width + j;
      longest[at] = old[i] === now[j] ? longest[at + width + 1] + weight(old[i]) : Math.max(longest[at + width], longest[at + 1]);
    }
  }
  if (longest[0] < LEAST_ALIKE * Math.max(weights(old), weights(now))) {
    add("out", old);
    add("in", now);
    return;
  }
  let out = [];
  let come = [];
  const flush = () => {
    add("out", out);
    add("in", come);
    out = [];
    come = [];
  };
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    if (i < old.length && j < now.length && old[i] === now[j]) {
      flush();
      add("same", [old[i]]);
      i++;
      j++;
    } else if (j >= now.length || (i < old.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) out.push(old[i++]);
    else come.push(now[j++]);
  }
  flush();
}
