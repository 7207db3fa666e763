/** The page's script: the filter of the drawings, and the curves. Plain JavaScript, run as it stands. */
export const client = String.raw`"use strict"
{
  const grid = document.querySelector(".grid")
  if (grid) {
    const cards = [...grid.children]
    const status = document.querySelector(".more")
    const all = document.querySelector("button.all")
    let most = Number(grid.dataset.first)
    const show = () => {
      const wanted = document.querySelector("input[name=filter]:checked").value
      const fitting = cards.filter((card) => wanted === "all" || card.dataset.verdict === wanted)
      const shown = new Set(fitting.slice(0, most))
      for (const card of cards) card.hidden = !shown.has(card)
      status.textContent = fitting.length === 0 ? "None." : shown.size < fitting.length ? shown.size + " of " + fitting.length + " shown" : ""
      all.hidden = shown.size === fitting.length
    }
    document.querySelector(".filter").addEventListener("change", show)
    all.addEventListener("click", () => {
      const next = cards.filter((card) => !card.hidden).length
      most = Infinity
      show()
      // The button is gone: keyboard focus moves to the first new card.
      const first = cards.filter((card) => !card.hidden)[next]
      first.tabIndex = -1
      first.focus({ preventScroll: true })
    })
    show()
  }
  addEventListener("beforeprint", () => { for (const details of document.querySelectorAll("details")) details.open = true })
}
{
  const { every, panels, smoothing, steps } = JSON.parse(document.getElementById("curve-data").textContent)
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

  // A Gaussian mean over neighbours: unlike a running mean it does not lag.
  const smooth = (values) => {
    if (!smoothing) return values
    const width = Math.max(1.5, values.length / 40)
    const reach = Math.ceil(3 * width)
    return values.map((value, at) => {
      if (value === null) return null
      let total = 0, weights = 0
      for (let i = Math.max(0, at - reach); i <= Math.min(values.length - 1, at + reach); i++) {
        if (values[i] === null) continue
        const weight = Math.exp(-(((i - at) / width) ** 2) / 2)
        total += weight * values[i]
        weights += weight
      }
      return total / weights
    })
  }
  const numbers = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 })
  const write = (value, share) =>
    value == null ? "–" : share ? numbers.format(100 * value) + "\u202f%" : numbers.format(value).replace("-", "−")

  const plots = [...document.querySelectorAll(".plot")].map((element, i) => {
    const { series, share } = panels[i]
    return { element, series, share, smoothed: series.map(smooth), legend: element.parentNode.querySelector(".legend") }
  })

  const report = ({ legend, series, share, smoothed }, at) => {
    const values = at == null ? smoothed.map((curve) => curve.findLast((value) => value !== null)) : series.map((curve) => curve[at])
    legend.querySelectorAll("b").forEach((element, i) => { element.textContent = write(values[i], share) })
    legend.querySelector(".at").textContent = at == null ? "" : "step " + steps[at] + (every > 1 ? " and on" : "")
  }

  const height = 170
  const draw = (plot) => {
    plot.chart?.destroy()
    const { element, series, share, smoothed } = plot
    const ink = colour("--soft"), line = colour("--line")
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { show: false }, gap: 6 }
    const strokes = series.map((_, i) => colour("--c" + (i + 1)))
    const faint = !smoothing ? [] : series.map((_, i) => ({ stroke: strokes[i] + "55", width: 1, pxAlign: 0, points: { show: false } }))
    plot.chart = new uPlot({
      width: element.clientWidth, height, padding: [8, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, sync: { key: "step" }, points: { size: 6 } },
      scales: {
        x: { time: false, range: steps.length === 1 ? [steps[0] - 1, steps[0] + 1] : [steps[0], steps.at(-1)] },
        y: share ? { range: [-0.02, 1.02] } : {}
      },
      axes: [
        { ...axis, size: 26, space: 45, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5] },
        {
          ...axis, size: 48, space: 34,
          values: (_, ticks) => ticks.map((tick) => share ? Math.round(100 * tick) + "\u202f%" : numbers.format(tick).replace("-", "−"))
        }
      ],
      series: [{}, ...faint, ...series.map((_, i) => ({ stroke: strokes[i], width: 2, pxAlign: 0, spanGaps: true, points: { show: !smoothing, size: 5 } }))],
      hooks: { setCursor: [(chart) => report(plot, chart.cursor.left < 0 ? null : chart.cursor.idx)] }
    }, [steps, ...(smoothing ? series : []), ...smoothed], element)
    report(plot, null)
  }
  const drawAll = () => plots.forEach(draw)
  drawAll()
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", drawAll)
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const { chart } = plots.find(({ element }) => element === target)
      if (target.clientWidth !== chart.width) chart.setSize({ height, width: target.clientWidth })
    }
  })
  for (const { element } of plots) sizes.observe(element)
}
`
