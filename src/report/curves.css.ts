/** How curves look, in the report and in the studio; the colours are those of the page. */
export const curvesStyle = `.panel figcaption p { color: var(--soft); font-size: 12.5px; line-height: 1.35; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 3px 0 4px; font-size: 13px; }
.legend b { font-weight: 600; }
.legend .at { margin-left: auto; color: var(--soft); }
.key { display: inline-block; width: 10px; height: 10px; margin-right: 7px; border-radius: 3px; }
.legend .key { width: 12px; height: 3px; margin-right: 6px; vertical-align: 0.28em; border-radius: 2px; }
.plot { height: 170px; }
.uplot { font-family: inherit; }
.u-hz .u-cursor-x { border-right: 1px solid var(--soft); }
i.k1 { background: var(--c1); } i.k2 { background: var(--c2); } i.k3 { background: var(--c3); }
i.k4 { background: var(--c4); } i.k5 { background: var(--c5); } i.k6, i.wall { background: var(--c6); }
`
