// The kinds of panels. All but the state timeline, which is in no package, are Grafana's own.

import {
  FieldType,
  ThresholdsMode,
  dateTime,
  getDisplayProcessor,
  sortDataFrame,
  standardTransformers,
  standardTransformersRegistry,
  toDataFrame,
  transformDataFrame,
} from '@grafana/data';
import { BigValue, Table, TimeSeries } from '@grafana/ui';
import { useEffect, useState } from 'react';

import { from, stepOf, to } from './queries';

const RANGE = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: '', to: '' } };

function nameOf(target, labels) {
  return target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

/** Gives a panel's configuration of one field, overrides included. */
function configOf(panel, name, ref) {
  const config = structuredClone(panel.fieldConfig.defaults);
  for (const { matcher, properties } of panel.fieldConfig.overrides) {
    const fits = matcher.id === 'byName' ? matcher.options === name : matcher.options === ref;
    if (!fits) continue;
    for (const { id, value } of properties) {
      if (id.startsWith('custom.')) (config.custom ??= {})[id.slice('custom.'.length)] = value;
      else config[id] = value;
    }
  }
  for (const step of config.thresholds?.steps ?? []) step.value ??= -Infinity;
  if (config.thresholds) config.thresholds.mode = ThresholdsMode.Absolute;
  return { ...config, links: undefined };
}

function rangeOf({ type, values }) {
  if (type !== FieldType.number) return undefined;
  const numbers = values.filter((value) => value !== null);
  const [min, max] = [Math.min(...numbers), Math.max(...numbers)];
  return { min, max, delta: max - min };
}

function finish(frame, theme, index, name) {
  frame.fields.forEach((field) => {
    field.display = getDisplayProcessor({ field, theme });
    field.getLinks = () => [];
    field.state = {
      seriesIndex: index,
      displayName: field.type === FieldType.time ? 'Time' : (name ?? field.name),
      range: rangeOf(field),
    };
  });
  return frame;
}

/** Gives a frame for each series, with a hole wherever points are missing. */
function framesOf(panel, results, theme) {
  return results.flatMap(({ target, series }) => series.map((each) => ({ target, ...each })))
    .map(({ target, labels, points }, index) => {
      const times = [];
      const values = [];
      for (const [time, value] of points) {
        if (times.length && time * 1000 - times.at(-1) > stepOf(target) * 1500) {
          times.push(times.at(-1) + 1000);
          values.push(null);
        }
        times.push(time * 1000);
        values.push(value);
      }
      const name = nameOf(target, labels);
      const config = { ...configOf(panel, name, target.refId), displayNameFromDS: name };
      const frame = toDataFrame({
        refId: target.refId,
        fields: [
          { name: 'Time', type: FieldType.time, values: times },
          { name: 'Value', type: FieldType.number, values, labels, config },
        ],
      });
      return finish(frame, theme, index, name);
    });
}

export function Stat({ panel, results, theme, width, height }) {
  const { colorMode, graphMode, textMode } = panel.options;
  const frames = framesOf(panel, results, theme);
  if (!frames.length) return <Empty theme={theme} height={height} text={panel.fieldConfig.defaults.noValue} />;
  return (
    <div style={{ display: 'flex' }}>
      {frames.map((frame, index) => {
        const [time, field] = frame.fields;
        const shown = field.display(field.values.findLast((value) => value !== null));
        const value = { ...shown, title: textMode === 'value' ? undefined : field.state.displayName };
        return (
          <BigValue
            key={index}
            theme={theme}
            width={width / frames.length}
            height={height}
            value={value}
            colorMode={colorMode}
            graphMode={graphMode}
            textMode={textMode}
            justifyMode="auto"
            sparkline={graphMode === 'none' ? undefined : { x: time, y: field, timeRange: RANGE }}
          />
        );
      })}
    </div>
  );
}

export function Lines({ panel, results, theme, width, height, marks }) {
  const frames = framesOf(panel, results, theme);
  if (!frames.length) return <Empty theme={theme} height={height} text={panel.fieldConfig.defaults.noValue ?? 'No data'} />;
  return (
    <TimeSeries
      frames={frames}
      structureRev={1}
      timeRange={RANGE}
      timeZone="utc"
      width={width}
      height={height}
      legend={panel.options.legend}
      options={panel.options}
    >
      {(builder) => {
        builder.addHook('draw', (plot) => drawMarks(plot, marks, theme));
        return null;
      }}
    </TimeSeries>
  );
}

function drawMarks(plot, marks, theme) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.setLineDash([5, 5]);
  ctx.lineWidth = 2;
  for (const { at, color } of marks) {
    const x = plot.valToPos(at * 1000, 'x', true);
    ctx.strokeStyle = theme.visualization.getColorByName(color);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

export function States({ panel, results, theme, width, height, marks }) {
  const [{ options }] = panel.fieldConfig.defaults.mappings;
  const series = results.flatMap((each) => each.series.map((one) => ({ ...one, name: nameOf(each.target, one.labels) })));
  series.sort((a, b) => a.name.localeCompare(b.name));
  if (!series.length) return <Empty theme={theme} height={height} text={panel.fieldConfig.defaults.noValue} />;
  const left = 20 + 7 * Math.max(...series.map(({ name }) => name.length));
  const tall = (height - 20) / series.length;
  const x = (time) => left + ((time - from) / (to - from)) * (width - left - 8);
  const step = stepOf(panel.targets[0]);
  const text = { fill: theme.colors.text.secondary, fontSize: 12 };
  const ticks = [0, 0.2, 0.4, 0.6, 0.8, 1].map((share) => from + share * (to - from));
  return (
    <svg width={width} height={height}>
      {series.map(({ name, points }, row) => (
        <g key={row}>
          <text x={left - 8} y={(row + 0.5) * tall} textAnchor="end" dominantBaseline="middle" {...text}>
            {name}
          </text>
          {points.map(([time, value]) => (
            <rect
              key={time}
              x={x(time)}
              y={(row + 0.1) * tall}
              width={x(Math.min(time + step, to)) - x(time) + 0.3}
              height={tall * 0.8}
              fill={theme.visualization.getColorByName(options[value]?.color ?? 'text')}
              opacity={0.75}
            />
          ))}
        </g>
      ))}
      {ticks.map((time) => (
        <text key={time} x={Math.min(x(time), width - 24)} y={height - 4} textAnchor="middle" {...text}>
          {new Date(time * 1000).toISOString().slice(11, 16)}
        </text>
      ))}
      {marks.map(({ at, color }, index) => (
        <line
          key={index}
          x1={x(at)}
          x2={x(at)}
          y1={0}
          y2={height - 20}
          stroke={theme.visualization.getColorByName(color)}
          strokeDasharray="4 4"
        />
      ))}
    </svg>
  );
}

/** Gives what a query in the format `table` gives: a column for each label, and one for the value. */
function tableOf({ target, series }) {
  const labels = Object.keys(series[0]?.labels ?? {});
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.map(({ points }) => points[0][0] * 1000) },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        config: { filterable: true },
        values: series.map((each) => each.labels[label]),
      })),
      { name: `Value #${target.refId}`, type: FieldType.number, values: series.map(({ points }) => points[0][1]) },
    ],
  });
}

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: async () => transformation,
  })),
);

export function Rows({ panel, results, theme, width, height }) {
  const [table, setTable] = useState(null);
  useEffect(() => {
    const joined = transformDataFrame(panel.transformations, results.map(tableOf)).subscribe(([frame]) => setTable(frame));
    return () => joined.unsubscribe();
  }, [panel, results]);
  if (!table) return null;
  const fields = table.fields.map((field) => ({
    ...field,
    name: field.config.displayName ?? field.name,
    config: configOf(panel, field.config.displayName ?? field.name),
  }));
  const frame = sortDataFrame({ ...table, fields }, fields.findIndex(({ name }) => name === panel.options.sortBy[0].displayName));
  return <Table data={finish(frame, theme, 0)} width={width} height={height} />;
}

export function Empty({ theme, height, text }) {
  return (
    <div style={{ height, display: 'grid', placeItems: 'center', color: theme.colors.text.secondary }}>{text}</div>
  );
}
