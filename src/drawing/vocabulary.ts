/**
 * Which elements and attributes a drawing may use. Anything not listed here is refused, so a new SVG feature is refused
 * by default.
 */

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/))

export const elements = words(`
  svg g defs symbol use title desc metadata style
  path rect circle ellipse line polyline polygon
  linearGradient radialGradient stop pattern clipPath mask marker
  filter feGaussianBlur feOffset feFlood feComposite feMerge feMergeNode feBlend feColorMatrix feDropShadow
  feComponentTransfer feFuncR feFuncG feFuncB feFuncA
`)

/** Letters: allowed only where the prompt asks for text. */
export const textElements = words("text tspan textPath")

/** Content that is never drawn, so it cannot show letters to a judge. */
export const silent = words("title desc metadata style")

/** Namespaces in which Inkscape and Sodipodi keep notes for themselves. */
export const editors = /^http:\/\/(www\.inkscape\.org|sodipodi\.sourceforge\.net)\//

export const filterPrimitives = /^fe[A-Z]/

/** Attributes whose value is a list of numbers, each of which must be finite and in range. */
export const numeric = words(`
  x y width height cx cy r rx ry fx fy fr x1 y1 x2 y2 dx dy rotate
  points d viewBox transform gradientTransform patternTransform
  stroke-width stroke-dasharray stroke-dashoffset stroke-miterlimit stdDeviation font-size
  markerWidth markerHeight refX refY k1 k2 k3 k4 opacity
`)

/** The numeric attributes that can move something off the canvas. */
export const placing = words("x y cx cy x1 x2 y1 y2 dx dy d points transform width height")
