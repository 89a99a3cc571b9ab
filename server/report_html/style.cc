// SPDX-License-Identifier: Apache-2.0
#include "server/report_html/style.h"

namespace prefscore::report_html {
namespace {

// Text on its ground has a contrast of 4.5 or more, marks of 3 or more. Blue and orange stay apart for all common kinds
// of colour blindness. --shade-*: betas, small to large. --heat-*: numbers, small to large.
constexpr char kColours[] = R"css(
:root {
  color-scheme: light dark;
  --ground: #ffffff; --surface: #f5f6f8; --ink: #1b1f24; --muted: #57606c; --edge: #d3d8df; --grid: #e7eaee;
  --accent: #5633a1; --mark: #1b1f24; --bar: #77839a; --track: #e3e6eb; --yes: #14663a;
  --right-right: #15609f; --right-wrong: #4f98cf; --wrong-right: #a8430a; --wrong-wrong: #cd8030; --tie: #8a919c;
  --on-strong: #ffffff; --on-light: #1b1f24; --hatch: rgba(27, 31, 36, 0.35);
  --shade-0: #2b1a78; --shade-1: #411f8a; --shade-2: #572598; --shade-3: #6e2ca1; --shade-4: #8634a6;
  --shade-5: #9c39a6; --shade-6: #ad3b9c; --shade-7: #b93f8c; --shade-8: #c2467c; --shade-9: #c34a66;
  --heat-0: #f4f0fb; --heat-1: #e4dbf5; --heat-2: #d1c2ee; --heat-3: #bba6e5; --heat-4: #a388da;
  --heat-5: #8361c7; --heat-6: #6c49b6; --heat-7: #5633a1; --heat-8: #3c1d82;
  --on-heat-low: #1b1f24; --on-heat-high: #ffffff; --on-heat-5: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14171c; --surface: #1c2027; --ink: #e7eaef; --muted: #a6afbb; --edge: #3a424d; --grid: #292f38;
    --accent: #b8a5e6; --mark: #e7eaef; --bar: #8592aa; --track: #313843; --yes: #7fd6a4;
    --right-right: #3f93d9; --right-wrong: #b1daf6; --wrong-right: #e27227; --wrong-wrong: #f8cb97; --tie: #7f8894;
    --on-strong: #0d1014; --on-light: #0d1014; --hatch: rgba(13, 16, 20, 0.4);
    --shade-0: #8f86ff; --shade-1: #9d85fc; --shade-2: #ab84f7; --shade-3: #ba83ef; --shade-4: #c883e5;
    --shade-5: #d584d9; --shade-6: #e086ca; --shade-7: #e98aba; --shade-8: #f190a7; --shade-9: #f79794;
    --heat-0: #241f36; --heat-1: #2f2650; --heat-2: #3d2f6c; --heat-3: #4e3b89; --heat-4: #634ba5;
    --heat-5: #7859ba; --heat-6: #9a82d4; --heat-7: #b8a5e6; --heat-8: #d8ccf5;
    --on-heat-low: #f2f0f8; --on-heat-high: #0d1014; --on-heat-5: #ffffff;
  }
}
)css";

constexpr char kPage[] = R"css(
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0 auto; max-width: 1150px; padding: 2rem 1.5rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 1rem; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h3 code { font-weight: 600; }
h3 { font-size: 1.05rem; margin: 2.2rem 0 0.5rem; }
p { margin: 0.5rem 0 1rem; max-width: 52rem; }
a { color: var(--accent); }
code { font: 0.92em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere;
  unicode-bidi: isolate; }
table code.short { white-space: nowrap; }
section { margin-top: 2.5rem; padding-top: 2rem; border-top: 1px solid var(--edge); }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.4rem;
  font-size: 0.92rem; }
.empty, .left-out, .note, .meaning { color: var(--muted); }
.left-out { font-size: 0.92rem; border-left: 3px solid var(--edge); padding-left: 0.7rem; }
.read { color: var(--muted); }
.read strong, .read em { color: var(--ink); }
details { margin: 0.25rem 0; }
summary { cursor: pointer; color: var(--accent); padding: 0.2rem 0; overflow-wrap: anywhere; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.25rem 1.5rem; margin: 0 0 1rem; }
.facts dt, .glossary dt { color: var(--muted); }
.facts dd, .glossary dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.glossary { display: grid; grid-template-columns: minmax(6rem, 11rem) minmax(0, 1fr); gap: 0.5rem 1.5rem; }
.glossary dt { color: var(--ink); font-weight: 600; }
.glossary dd { max-width: 50rem; }
.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.8rem; margin-bottom: 1.8rem; }
.tile { background: var(--surface); border: 1px solid var(--edge); border-radius: 8px; padding: 0.8rem 0.9rem;
  display: flex; flex-direction: column; }
.tile .number { font-size: 1.55rem; font-weight: 600; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile .name { font-weight: 600; margin-top: 0.15rem; }
.tile .meaning { font-size: 0.82rem; line-height: 1.35; }
@media (max-width: 900px) { .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@media (max-width: 620px) {
  .facts, .glossary { grid-template-columns: 1fr; }
  .facts dd, .glossary dd { margin-bottom: 0.5rem; }
}
@media print { section { break-inside: auto; } figure, tr { break-inside: avoid; } nav { display: none; } }
)css";

constexpr char kTables[] = R"css(
.scroll { overflow-x: auto; margin: 0.8rem 0 1.4rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.4rem; }
th, td { padding: 0.32rem 0.75rem; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; }
thead th { color: var(--muted); border-bottom: 1px solid var(--edge); vertical-align: bottom; font-weight: 500;
  line-height: 1.3; }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
th.text, td.text { text-align: left; white-space: normal; }
th:first-child, td:first-child { padding-left: 0.3rem; }
tbody th { font-weight: 400; max-width: 26rem; }
tr.as-is > * { background: var(--surface); font-weight: 600; }
.bar-cell { display: inline-block; min-width: 4.6rem; padding: 0 0.25rem; margin-right: -0.25rem;
  background: linear-gradient(var(--track), var(--track)) left / calc(var(--share) * 100%) 100% no-repeat; }
tr.as-is .bar-cell { background-image: linear-gradient(var(--edge), var(--edge)); }
table.dense { font-size: 0.8rem; }
.dense th, .dense td { padding: 0.28rem 0.4rem; }
table.single-line th, table.single-line td { white-space: nowrap; }
.lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 0 2rem; }
.lists table { width: 100%; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
.swatch { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.5em; border-radius: 2px; }
table.learning { width: 100%; border-collapse: separate; border-spacing: 6px; table-layout: auto; }
.learning-scroll { margin-left: -6px; }
.learning th:first-child { padding-left: 0; }
.learning caption { padding-left: 6px; }
.learning th { text-align: left; vertical-align: top; border: 0; color: var(--ink); font-weight: 600;
  white-space: nowrap; }
.learning thead th { vertical-align: bottom; }
.learning .corner { color: var(--muted); font-weight: 400; font-size: 0.85rem; }
.learning thead th.right, .learning thead th.wrong { width: 36%; }
.learning.without-ties thead th.right, .learning.without-ties thead th.wrong { width: 40%; }
.learning tbody tr > * { border-top: 0; }
.learning td.cell { text-align: left; white-space: normal; background: var(--surface); border-radius: 6px;
  border: 1px solid var(--edge); border-left-width: 6px; padding: 0.55rem 0.8rem; }
.learning td.is-diagonal { outline: 2px dashed var(--muted); outline-offset: -1px; }
.pairs b { font-size: 1.15rem; }
.learning dl { display: grid; grid-template-columns: auto auto; gap: 0.05rem 0.8rem; margin: 0.5rem 0;
  font-size: 0.85rem; justify-content: space-between; }
.learning dt { color: var(--muted); }
.learning dd { margin: 0; text-align: right; }
.share { display: grid; grid-template-columns: 6.4rem minmax(1.5rem, 1fr) 3.9rem; gap: 0.5rem; align-items: center;
  font-size: 0.85rem; }
.share b { font-weight: 600; text-align: right; }
.track { display: block; height: 0.6rem; background: var(--track); border-radius: 2px; overflow: hidden; }
.fill { display: block; height: 100%; }
.fill.plain { background: var(--bar); }
.verdicts { display: flex; flex-wrap: wrap; gap: 0.3rem 0.5rem; font-size: 0.8rem; margin-top: 0.3rem; }
.verdict { border: 1px solid currentColor; border-radius: 999px; padding: 0 0.55rem; white-space: nowrap; }
.verdict.yes { color: var(--yes); font-weight: 600; }
.verdict.yes::before { content: "✓ "; }
.verdict.no { color: var(--muted); }
.verdict.no::before { content: "✕ "; }
.verdict.silent { color: var(--muted); border-style: dotted; }
.diagonal { font-size: 0.8rem; color: var(--muted); margin-top: 0.4rem; }
)css";

constexpr char kPictures[] = R"css(
.patterns { position: absolute; }
figure { margin: 0; }
figcaption { margin-bottom: 0.3rem; line-height: 1.4; }
figcaption .note { display: block; font-size: 0.85rem; }
.chart { overflow-x: auto; }
.chart svg { display: block; max-width: 100%; height: auto; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2rem 1.2rem; margin: 1.2rem 0; }
.charts .wide { grid-column: 1 / -1; }
.small-charts { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 1.6rem 1.2rem;
  margin: 1rem 0 1.5rem; }
@media (max-width: 900px) {
  .charts { grid-template-columns: minmax(0, 1fr); }
  .small-charts { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media (max-width: 620px) {
  .small-charts { grid-template-columns: minmax(0, 1fr); }
  .charts svg { min-width: 440px; }
  .wide svg { min-width: 760px; }
}
svg text { font-family: inherit; font-size: 12px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .tick { fill: var(--muted); }
svg .axis-title { fill: var(--muted); }
svg .strong, svg text.strong { font-weight: 700; }
svg .tick.strong { fill: var(--ink); }
.axis { stroke: var(--muted); stroke-width: 1; }
.grid { stroke: var(--grid); stroke-width: 1; }
.zero { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 3; }
.mark { stroke: var(--mark); stroke-width: 1; stroke-dasharray: 5 4; }
svg .mark-name { fill: var(--ink); font-weight: 600; }
.frame { fill: none; stroke: var(--mark); stroke-width: 2; }
.frame-halo { fill: none; stroke: var(--ground); stroke-width: 5; }
.leader { fill: none; stroke: var(--edge); stroke-width: 1; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.line.strong { stroke-width: 3.2; }
.line.dotted { stroke-dasharray: 2 4; }
.bar { fill: var(--bar); }
.box { fill: var(--ground); stroke: var(--ink); stroke-width: 1.2; }
.whisker { stroke: var(--ink); stroke-width: 1.2; }
.median { stroke: var(--ink); stroke-width: 1.6; }
.part { stroke: var(--ground); stroke-width: 1.5; }
svg .in-part, svg .in-cell { font-size: 11.5px; }
.hatch { fill: var(--hatch); }
.heat-none { fill: none; stroke: var(--edge); stroke-dasharray: 2 2; }
)css";

// Rules that are alike for a row of numbered or named colours.
std::string ColourClasses() {
  std::string css;
  for (int i = 0; i < 10; ++i) {
    const std::string n = std::to_string(i);
    css += ".shade-" + n + " { stroke: var(--shade-" + n + "); } .dot-" + n + ", svg .ink-" + n +
           " { fill: var(--shade-" + n + "); }\n";
  }
  for (int i = 0; i < 9; ++i) {
    const std::string n = std::to_string(i);
    css += ".heat-" + n + " { fill: var(--heat-" + n + "); } svg .on-heat-" + n + " { fill: var(--on-heat-" +
           (i < 5    ? "low"
            : i == 5 ? "5"
                     : "high") +
           "); }\n";
  }
  for (const std::string name : {"right-right", "right-wrong", "wrong-right", "wrong-wrong", "tie"}) {
    const bool is_hatched = name == "right-wrong" || name == "wrong-wrong";
    const bool is_strong = name == "right-right" || name == "wrong-right";
    css += ".cell-" + name + " { fill: " + (is_hatched ? "url(#hatch-" + name + ")" : "var(--" + name + ")") +
           "; background: var(--" + name + "); } .plain.cell-" + name + " { fill: var(--" + name + "); } .edge-cell-" +
           name + ", .learning td.edge-cell-" + name + " { border-left-color: var(--" + name + "); } svg .on-cell-" +
           name + " { fill: var(" + (is_strong ? "--on-strong" : "--on-light") + "); }\n";
  }
  // Figures over a hatching need a calm ground.
  css += "svg .on-cell-right-wrong { paint-order: stroke; stroke: var(--right-wrong); stroke-width: 4px; }\n";
  css += "svg .on-cell-wrong-wrong { paint-order: stroke; stroke: var(--wrong-wrong); stroke-width: 4px; }\n";
  return css;
}

}  // namespace

std::string StyleSheet() { return std::string(kColours) + kPage + kTables + kPictures + ColourClasses(); }

}  // namespace prefscore::report_html
