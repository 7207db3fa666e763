import { assert, describe, it } from "@effect/vitest"
import { declarations, urlTargets } from "../../src/drawing/css.ts"

describe("urlTargets", () => {
  const cases: ReadonlyArray<readonly [value: string, targets: ReadonlyArray<string>]> = [
    ["url(#a)", ["#a"]],
    ["URL( '#a b' ) url(\"#c\")", ["#a b", "#c"]],
    ["fill: url(#a) #fff; mask:url( #b\n)", ["#a", "#b"]],
    ["url(\"#a)b\")", ["#a)b"]],
    ["url('#a)", ["'#a"]],
    ["url('#a\") url(#b)", ["'#a\"", "#b"]],
    ["url()", [""]],
    ["url(#a", []],
    ["url('#a'", []],
    ["none", []]
  ]
  for (const [value, targets] of cases) it(value, () => assert.deepStrictEqual(urlTargets(value), targets))
})

describe("declarations", () => {
  const cases: ReadonlyArray<readonly [css: string, found: ReadonlyArray<readonly [string, string]>]> = [
    ["fill:red; stroke-width : 2 ", [["fill", "red"], ["stroke-width", "2 "]]],
    [".a{fill:#fff}.b{r:1;cx:2}", [["fill", "#fff"], ["r", "1"], ["cx", "2"]]],
    ["a:hover{fill:red}", [["a", "hover"], ["fill", "red"]]],
    ["a:b:c;: d;e:f", [["a", "b:c"], ["e", "f"]]],
    ["a b : c", [["b", "c"]]],
    ["fill", []],
    ["fill:", [["fill", ""]]]
  ]
  for (const [css, found] of cases) it(css, () => assert.deepStrictEqual(declarations(css), found))
})
