// What every view is made of: elements, and how numbers and times are written.
import { h } from './vendor/preact.js';
import htm from './vendor/htm.js';

export const html = htm.bind(h);

const units = ['', 'k', 'M', 'G', 'T'];

// A count or a rate in three digits: 12, 1.23k, 45.6M.
export function count(n) {
  if (n === undefined || n === null || Number.isNaN(n)) return '–';
  let i = 0;
  let v = Math.abs(n);
  while (v >= 999.5 && i < units.length - 1) {
    v /= 1000;
    i++;
  }
  const digits = i === 0 ? (Number.isInteger(v) || v >= 100 ? 0 : 1) : v < 9.995 ? 2 : v < 99.95 ? 1 : 0;
  return (n < 0 ? '-' : '') + v.toFixed(digits) + units[i];
}

// The exact number, for a title.
export const exact = (n) => (typeof n === 'number' ? n.toLocaleString('en') : undefined);

const powers = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(n) {
  if (n === undefined || n === null) return '–';
  let i = 0;
  let v = n;
  while (v >= 1023.5 && i < powers.length - 1) {
    v /= 1024;
    i++;
  }
  return (i === 0 || v >= 99.95 ? v.toFixed(0) : v.toFixed(1)) + ' ' + powers[i];
}

// A time in milliseconds, in the two units that say most: 850 µs, 12 ms, 3.4 s, 5 min 10 s, 2 d 3 h.
export function span(ms) {
  if (ms === undefined || ms === null || Number.isNaN(ms)) return '–';
  if (ms < 1) return (ms * 1000).toFixed(0) + ' µs';
  if (ms < 10) return ms.toFixed(1) + ' ms';
  if (ms < 1000) return ms.toFixed(0) + ' ms';
  const s = ms / 1000;
  if (s < 60) return (s < 10 ? s.toFixed(1) : s.toFixed(0)) + ' s';
  const whole = Math.floor(s);
  if (s < 3600) return Math.floor(whole / 60) + ' min ' + (whole % 60) + ' s';
  if (s < 86400) return Math.floor(whole / 3600) + ' h ' + (Math.floor(whole / 60) % 60) + ' min';
  return Math.floor(whole / 86400) + ' d ' + (Math.floor(whole / 3600) % 24) + ' h';
}

export const clock = (ms) => (ms ? new Date(ms).toLocaleTimeString('en-GB', { hour12: false }) : '–');

const pad = (n) => String(n).padStart(2, '0');

// A moment with its date, in the browser's time zone.
export function moment(ms) {
  if (!ms) return '–';
  const d = new Date(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

// The part of an ID that tells it from others.
export const short = (id) => (id ? id.slice(0, 8) : '–');

// An argument as a shell takes it.
export const quoted = (s) => (/^[A-Za-z0-9_.\/:@%+=,-]+$/.test(s) ? s : `'${String(s).replaceAll("'", `'\\''`)}'`);
