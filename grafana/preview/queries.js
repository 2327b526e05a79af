// What a board asks, put to a Prometheus as Grafana would.

const arguments_ = new URLSearchParams(location.search);
export const from = Number(arguments_.get('from'));
export const to = Number(arguments_.get('to'));
export const theme = arguments_.get('theme') ?? 'dark';
export const board = arguments_.get('board');
export const unfolded = arguments_.get('unfolded') === 'true';
const prometheus = arguments_.get('prometheus');

const SCRAPE = 15; // seconds, as in the data source of grafana/provisioning
const POINTS = 400; // about as many as a panel is wide

function seconds(duration) {
  return duration ? Number(duration.slice(0, -1)) * { s: 1, m: 60, h: 3600 }[duration.at(-1)] : SCRAPE;
}

/** Gives the time between two points of a query. */
export function stepOf({ interval }) {
  return Math.max(Math.ceil((to - from) / POINTS / 5) * 5, seconds(interval));
}

function expand(expr, target) {
  const least = seconds(target.interval);
  const values = {
    $__rate_interval: `${Math.max(stepOf(target) + least, 4 * least)}s`,
    $__interval: `${stepOf(target)}s`,
    $__range: `${to - from}s`,
  };
  for (const name of ['job', 'instance', 'type', 'peer']) {
    values[`$${name}`] = arguments_.get(name) ?? '.+';
  }
  return Object.entries(values).reduce((text, [name, value]) => text.replaceAll(name, value), expr);
}

async function get(path, parameters) {
  const answer = await (await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') throw new Error(answer.error);
  return answer.data.result;
}

function number(text) {
  const value = Number(text.replace('Inf', 'Infinity'));
  return Number.isNaN(value) ? null : value;
}

/** Gives the series of a target: their labels, and points [time, value]. */
export async function ask(target) {
  const query = expand(target.expr, target);
  const found = target.instant
    ? await get('query', { query, time: to })
    : await get('query_range', { query, start: from, end: to, step: stepOf(target) });
  return found.map(({ metric, value, values }) => ({
    labels: metric,
    points: (values ?? [value]).map(([time, text]) => [time, number(text)]),
  }));
}

/** Gives the marks of the annotations: time, colour and name. */
export async function marks(annotations) {
  const found = [];
  for (const each of annotations.filter((one) => one.expr)) {
    const target = { expr: each.expr, interval: each.step };
    for (const { points } of await ask(target)) {
      let last = -Infinity;
      for (const [time, value] of points) {
        const at = each.useValueForTime ? value / 1000 : time;
        // Points that follow each other are one event.
        const begins = each.useValueForTime ? at !== last : time - last > stepOf(target) * 1.5;
        if (begins && at >= from && at <= to) found.push({ at, color: each.iconColor, name: each.name });
        last = each.useValueForTime ? at : time;
      }
    }
  }
  return found;
}
