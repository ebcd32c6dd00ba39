/** The page's style. Colours are told apart in grey and by the colour-blind too; both schemes reach a contrast of 4.5 for text. */
export const style = `
:root { color-scheme: light dark; --paper: #fff; --card: #f7f8fa; --ink: #1a1d23; --quiet: #59606b; --rule: #d9dde3; --good: #0b6e3f; --bad: #b3261e;
  --c1: #2563a8; --c2: #1a936f; --c3: #d98e04; --c4: #c2402a; --c5: #7d5ba6; --c6: #5fa8c9; --c7: #8a919c; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1c2027; --ink: #e7eaee; --quiet: #a2aab6; --rule: #333a44; --good: #5ccf94; --bad: #ff8a7d;
  --c1: #6aa9ec; --c2: #4fcfa3; --c3: #f0b53c; --c4: #f0755d; --c5: #b99ae0; --c6: #8fd0ea; --c7: #868e9a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 20px 24px 48px; background: var(--paper); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 15px; margin: 28px 0 8px; } h3 { font-size: 14px; margin: 0; }
p { margin: 2px 0; color: var(--quiet); } header p { font-size: 14px; }
.verdict { color: var(--ink); font-weight: 600; margin-top: 6px; } .verdict b { color: var(--bad); } .verdict.held b { color: var(--good); }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(max(130px, 15%), 1fr)); gap: 8px; margin: 16px 0 0; }
dl.tiles div { background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: 8px 10px; }
dl.tiles dt { color: var(--quiet); font-size: 12px; } dl.tiles dd { margin: 0; font-size: 16px; font-weight: 600; white-space: nowrap; font-variant-numeric: tabular-nums; }
dl.tiles .bad { color: var(--bad); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 12px; }
figure { margin: 0; padding: 12px 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; min-width: 0; overflow-x: auto; }
figcaption p { font-size: 12px; min-height: 2.9em; }
svg { display: block; width: 100%; min-width: 460px; height: auto; }
svg text { font-size: 11px; fill: var(--quiet); font-variant-numeric: tabular-nums; } svg .name { font-size: 11px; }
.grid path { stroke: var(--rule); stroke-width: 1; fill: none; } .axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
.line { fill: none; stroke: var(--c); stroke-width: 1.8; stroke-linejoin: round; } .line.dashed { stroke-dasharray: 5 4; } .band { fill: var(--c); }
.c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 4px 0 2px; padding: 0; list-style: none; font-size: 12px; }
.legend i { display: inline-block; width: 10px; height: 10px; margin-right: 5px; border-radius: 2px; background: var(--c); }
details { margin-top: 4px; font-size: 12px; } summary { color: var(--quiet); cursor: pointer; }
.scroll { overflow: auto; max-height: 320px; } .whole .scroll { max-height: none; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; width: 100%; } caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { padding: 4px 10px 4px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; white-space: nowrap; } thead th { color: var(--quiet); font-weight: 500; }
tbody th { font-weight: 500; } .numbers td:not(:last-child), .numbers thead th:not(:first-child, :last-child), figure td, figure thead th:not(:first-child) { text-align: right; }
.wide td { white-space: normal; overflow-wrap: anywhere; } .numbers td:last-child { color: var(--quiet); white-space: normal; } .numbers td:last-child, .numbers th:last-child { padding-left: 14px; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 0 32px; }
`;
