/** Markup as tagged templates. Whatever is put into one becomes text or an attribute's value, never markup. */
import { h, type VNode } from "preact"
import htm from "htm"

type Tag = (strings: TemplateStringsArray, ...parts: ReadonlyArray<unknown>) => VNode

/** Its types take the package for CommonJS; a browser gets its module. */
export const html = (htm as unknown as { readonly bind: (create: typeof h) => Tag }).bind(h)
