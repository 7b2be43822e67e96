import uPlot from "uplot"

/** A line over time that fills its element. */
export interface Chart {
  /** Values by time, the latest last; null if there is none. */
  readonly show: (times: ReadonlyArray<number>, values: ReadonlyArray<number | null>) => void
  readonly remove: () => void
}

export const chart = (element: HTMLElement): Chart => {
  const plot = new uPlot(
    {
      width: Math.max(40, element.clientWidth),
      height: Math.max(20, element.clientHeight),
      padding: [3, 1, 3, 1],
      cursor: { show: false },
      legend: { show: false },
      axes: [{ show: false }, { show: false }],
      scales: { x: { time: false }, y: { range: (_, __, max) => [0, Math.max(max, Number.EPSILON)] } },
      series: [{}, { stroke: colour, width: 1.5, fill: () => `${colour()}22`, points: { show: false } }]
    },
    [[], []],
    element
  )
  const resize = new ResizeObserver(() => {
    if (element.clientWidth > 0) plot.setSize({ width: element.clientWidth, height: plot.height })
  })
  resize.observe(element)
  return {
    show: (times, values) => plot.setData([[...times], [...values]]),
    remove: () => {
      resize.disconnect()
      plot.destroy()
    }
  }
}

const colour = (): string => getComputedStyle(document.documentElement).getPropertyValue("--accent").trim()
