import { curvesStyle } from "./curves.css.ts"

/** The page's style: system fonts, two inks, light and dark. `--c1` to `--c6` are at least 3 : 1 on their background. */
export const style = `
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d2026; --soft: #5c636f; --line: #e5e3dd; --good: #17734a; --warn: #8a4b00;
  --c1: #2b63c6; --c2: #c4601c; --c3: #2a8a75; --c4: #8b5fbf; --c5: #9c7f22; --c6: #7f8690;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1b1e23; --ink: #e7e8ea; --soft: #a2a9b5; --line: #2e3239; --good: #6fce9d; --warn: #f0b56b;
    --c1: #7ea8f8; --c2: #f0a061; --c3: #5cc7ae; --c4: #c09bec; --c5: #dcc069; --c6: #858c97;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main, footer { max-width: 1160px; margin: 0 auto; padding: 0 24px; }
main { padding-top: 56px; }
footer { padding-top: 40px; padding-bottom: 48px; color: var(--soft); font-size: 13px; }
section { margin-top: 72px; }
h1, h2, h3, p, figure, dl, dd { margin: 0; }
h1 { font-size: 17px; font-weight: 600; letter-spacing: 0.01em; }
h2 { font-size: 23px; font-weight: 600; letter-spacing: -0.01em; line-height: 1.25; }
h3 { font-size: 15px; font-weight: 600; }
table + h3, .scroll + h3, .beside + h3, .note + h3 { margin-top: 28px; }
.note { color: var(--soft); font-size: 15px; max-width: 80ch; margin-top: 6px; text-wrap: pretty; }
.note b { color: var(--ink); font-weight: 600; }
code { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }

.trained { color: var(--soft); font-size: 15px; }
.trained code { display: inline-block; margin-left: 4px; padding: 1px 7px; border: 1px solid var(--line); border-radius: 5px; background: var(--card); color: var(--ink); }
.warning { margin-top: 20px; padding: 10px 14px; border-left: 3px solid var(--warn); background: var(--card); font-size: 15px; }
.warning b { color: var(--warn); }
.result { margin-top: 36px; font-size: clamp(24px, 3.4vw, 36px); line-height: 1.25; letter-spacing: -0.018em; max-width: 26em; text-wrap: balance; }
.result strong { color: var(--c1); font-weight: 650; }
.interval { color: var(--soft); white-space: nowrap; }
.result + .note { margin-top: 14px; }
.tiles { display: flex; flex-wrap: wrap; margin-top: 40px; border: 1px solid var(--line); border-radius: 12px; background: var(--line); gap: 1px; overflow: hidden; }
.tile { background: var(--card); padding: 16px 18px 15px; flex: 1 1 22%; }
.tile dt { color: var(--soft); font-size: 13px; }
.tile dd { margin-top: 4px; font-size: 21px; font-weight: 600; letter-spacing: -0.01em; line-height: 1.3; white-space: nowrap; }
.tile small { display: block; margin-top: 3px; color: var(--soft); font-size: 13px; font-weight: 400; letter-spacing: 0; }
.from { color: var(--soft); font-weight: 400; }
.range { position: relative; display: block; height: 12px; margin-top: 5px; background: linear-gradient(var(--line), var(--line)) center / 100% 2px no-repeat, linear-gradient(var(--soft), var(--soft)) center / 1px 100% no-repeat; }
.range i { position: absolute; top: 4px; height: 4px; border-radius: 2px; background: var(--c1); opacity: 0.45; }
.range b { position: absolute; top: 2px; width: 8px; height: 8px; margin-left: -4px; border-radius: 50%; background: var(--c1); }

.filter { display: flex; flex-wrap: wrap; margin: 20px 0 0; padding: 0; border: 0; min-width: 0; gap: 6px; }
.filter legend { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.filter label { position: relative; cursor: pointer; }
.filter input { position: absolute; inset: 0; margin: 0; opacity: 0; cursor: pointer; }
.filter span, button.all { display: block; padding: 5px 13px; border: 1px solid var(--line); border-radius: 99px; background: var(--card); color: var(--ink); font: inherit; font-size: 14px; }
.filter i { color: var(--soft); font-style: normal; }
.filter input:checked + span { background: var(--ink); border-color: var(--ink); color: var(--paper); }
.filter input:checked + span i { color: inherit; opacity: 0.75; }
.filter input:focus-visible + span { outline: 2px solid var(--c1); outline-offset: 2px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 28px 24px; margin-top: 22px; }
.card { content-visibility: auto; contain-intrinsic-size: auto 220px; break-inside: avoid; }
.card:focus { outline: none; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 14px; }
.frame { aspect-ratio: 1; border: 1px solid var(--line); border-radius: 8px; overflow: hidden; background: #fff; }
.won .frame { border: 2px solid var(--good); }
.frame img { display: block; width: 100%; height: 100%; object-fit: contain; }
.frame img.small { image-rendering: pixelated; }
.missing { display: flex; flex-direction: column; justify-content: center; align-items: center; height: 100%; padding: 6px; text-align: center; font-size: 13px; line-height: 1.35; overflow-wrap: break-word; color: var(--soft); background: repeating-linear-gradient(-45deg, transparent 0 7px, var(--line) 7px 8px) var(--card); }
.missing span, .missing b { background: var(--card); padding: 0 5px; }
.missing b { color: var(--ink); font-weight: 600; }
.side p { display: flex; justify-content: space-between; gap: 4px; margin-top: 4px; font-size: 11.5px; color: var(--soft); white-space: nowrap; }
.mark, .won p > span:first-child { color: var(--good); font-weight: 650; }
.mark::before, .won p > span:first-child::before { content: "✓ "; }
.card figcaption { margin-top: 2px; font-size: 14.5px; line-height: 1.4; }
.tie { color: var(--soft); border: 1px solid var(--line); border-radius: 99px; padding: 0 7px; font-size: 12px; }
.more { margin-top: 22px; color: var(--soft); font-size: 14px; }
.more:empty { display: none; }
button.all { margin-top: 8px; cursor: pointer; }
button.all:hover, .filter label:hover span { border-color: var(--soft); }

.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 16px; margin-top: 22px; }
.panel { min-width: 0; padding: 14px 14px 8px; border: 1px solid var(--line); border-radius: 12px; background: var(--card); break-inside: avoid; }
${curvesStyle}rect.k1 { fill: var(--c1); } rect.k2 { fill: var(--c2); } rect.k3 { fill: var(--c3); }
rect.k4 { fill: var(--c4); } rect.k5 { fill: var(--c5); } rect.k6 { fill: var(--c6); }

.beside { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 7fr); gap: 36px; margin-top: 22px; align-items: start; }
.bars .top, .bars p { color: var(--soft); font-size: 12.5px; }
.bars svg { display: block; width: 100%; height: 190px; border-top: 1px solid var(--line); border-bottom: 1px solid var(--soft); }
.bars p { display: flex; justify-content: space-between; margin-top: 3px; }
.even { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
.learning h3 { margin-top: 36px; }
.learning td { white-space: nowrap; }
.temperatures { display: block; width: 100%; height: auto; font-size: 12px; }
.temperatures text { fill: var(--soft); }
.temperatures .rule { stroke: var(--line); }
.temperatures polyline { fill: none; stroke-width: 2; }
.temperatures .s1 { stroke: var(--c1); fill: var(--c1); } .temperatures .s2 { stroke: var(--c2); fill: var(--c2); }
.temperatures .best { fill: none; stroke-width: 2; }
b.best { font-weight: 650; }
.scroll { position: relative; overflow-x: auto; }
section > .scroll > table, details table { max-width: 820px; }
table { width: 100%; border-collapse: collapse; font-size: 14.5px; }
.spent + .scroll, .note + .scroll, h3 + .scroll { margin-top: 16px; }
th, td { padding: 7px 0 7px 18px; border-bottom: 1px solid var(--line); text-align: right; vertical-align: baseline; font-weight: 400; overflow-wrap: normal; }
th:first-child, td:first-child { padding-left: 0; text-align: left; }
th[scope=row] { white-space: nowrap; }
thead th { color: var(--soft); font-size: 13px; vertical-align: bottom; line-height: 1.3; }
th.text, td.text { text-align: left; color: var(--soft); }
.spent { display: grid; grid-template-columns: auto 1fr; align-items: center; gap: 6px 12px; margin-top: 22px; color: var(--soft); font-size: 13px; }
.spent div { display: flex; gap: 1px; height: 22px; }
.spent i { display: block; border-radius: 2px; min-width: 1px; }
.spent .wall { height: 8px; align-self: center; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--soft); font-size: 15px; }
.settings th { font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; white-space: normal; width: 40%; }
.settings td { overflow-wrap: anywhere; color: var(--ink); }

@media (max-width: 1000px) { .tile { flex-basis: 30%; } .beside { grid-template-columns: minmax(0, 1fr); gap: 24px; } }
@media (max-width: 560px) {
  main, footer { padding-left: 16px; padding-right: 16px; }
  main { padding-top: 32px; }
  section { margin-top: 56px; }
  .tile { padding: 13px 14px 12px; flex-basis: 45%; }
  .tile dd { font-size: 19px; }
  .trained code { display: block; width: fit-content; margin: 8px 0 0; }
  th, td { padding-left: 12px; }
  td.text { min-width: 150px; }
}
@media print {
  :root { --paper: #fff; }
  body { font-size: 12px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding-top: 0; }
  section { margin-top: 32px; }
  .filter, button.all { display: none; }
  .grid { grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px; }
  .panels { grid-template-columns: repeat(2, 1fr); }
  tr, .tile { break-inside: avoid; }
  h2 { break-after: avoid; }
}
`
