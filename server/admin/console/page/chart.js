// Lines over time, drawn by uPlot.
import { useEffect, useLayoutEffect, useRef, useState } from './vendor/hooks.js';
import { clock, html } from './view.js';

const uPlot = globalThis.uPlot;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// rem is the page's unit of length, in pixels: it is larger on a wall.
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

// Chart draws series over times (Unix seconds). series: {name, values, format, color}, the color
// that of a variable in style.css. Its last values are said in words beside it, so that nobody needs
// to see the lines.
export function Chart({ title, times, series, theme }) {
  const host = useRef(null);
  const plot = useRef(null);
  const [unit, setUnit] = useState(rem);
  const data = [times, ...series.map((s) => s.values)];
  useLayoutEffect(() => {
    const axis = { stroke: color('--dim'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false }, font: `${Math.round(0.75 * unit)}px system-ui` };
    const format = series[0].format;
    const size = () => ({ width: host.current.clientWidth || 300, height: Math.round(8 * unit) });
    plot.current = new uPlot({
      ...size(),
      legend: { show: false },
      cursor: { points: { size: 5 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, min, max) => [Math.min(0, min ?? 0), max > 0 ? max * 1.1 : 1] } },
      axes: [{ ...axis, size: 1.6 * unit, space: 5 * unit, values: (_, ticks) => ticks.map((t) => clock(t * 1000)) }, { ...axis, size: 3.8 * unit, values: (_, ticks) => ticks.map(format) }],
      series: [{}, ...series.map((s) => ({ label: s.name, stroke: color(s.color), width: 1.5, points: { show: false } }))],
    }, data, host.current);
    const sized = new ResizeObserver(() => {
      plot.current?.setSize(size());
      setUnit(rem());
    });
    sized.observe(host.current);
    return () => {
      sized.disconnect();
      plot.current.destroy();
      plot.current = null;
    };
  }, [theme, unit, series.map((s) => s.name).join()]);
  useEffect(() => plot.current?.setData(data));
  const latest = series.map((s) => `${s.name} ${s.format(s.values.at(-1))}`).join(', ');
  return html`<figure class="chart">
    <figcaption><b>${title}</b> ${series.map((s) => html`<span key=${s.name} class="key">
      <i class=${'swatch ' + s.color.slice(2)}></i>${s.name} <b>${s.format(s.values.at(-1))}</b></span>`)}</figcaption>
    <div ref=${host} role="img" aria-label=${title + ' over time; now ' + latest}></div>
  </figure>`;
}
