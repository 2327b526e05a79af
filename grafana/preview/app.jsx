// Draws a board of ../dashboards from a Prometheus, in a browser, without a Grafana.
//
// The address says what: board, prometheus, from and to (Unix time, seconds), theme, unfolded.

import { createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome, PortalContainer } from '@grafana/ui';
import { Component, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { Lines, Rows, Stat, States } from './panels';
import { ask, board, marks, theme as mode, unfolded } from './queries';

const KINDS = { stat: Stat, timeseries: Lines, 'state-timeline': States, table: Rows };
const UNIT = 38; // pixels, as in Grafana
const GAP = 8;

const theme = createTheme({ colors: { mode } });

function place({ x, y, w, h }) {
  const column = document.body.clientWidth / 24;
  return { position: 'absolute', left: x * column, top: y * UNIT, width: w * column - GAP, height: h * UNIT - GAP };
}

function Panel({ panel, marks }) {
  const [results, setResults] = useState(null);
  useEffect(() => {
    Promise.all(panel.targets.map(async (target) => ({ target, series: await ask(target) })))
      .then(setResults)
      .catch((error) => console.error(panel.title, error));
  }, [panel]);
  const style = place(panel.gridPos);
  const Kind = KINDS[panel.type];
  return (
    <div style={style}>
      <PanelChrome title={panel.title} width={style.width} height={style.height}>
        {(width, height) =>
          results && <Kind panel={panel} results={results} theme={theme} marks={marks} width={width} height={height} />
        }
      </PanelChrome>
    </div>
  );
}

function Row({ row, folded }) {
  return (
    <div style={{ ...place(row.gridPos), color: theme.colors.text.primary, padding: 8, fontWeight: 500 }}>
      {folded ? '▸' : '▾'} {row.title}
    </div>
  );
}

class Guard extends Component {
  state = { error: null };
  static getDerivedStateFromError(error) {
    return { error };
  }
  render() {
    return this.state.error ? <pre style={{ color: 'red' }}>{String(this.state.error.stack)}</pre> : this.props.children;
  }
}

function Board({ panels, marks }) {
  return panels.flatMap((each) => {
    if (each.type !== 'row') return [<Guard key={each.id}><Panel panel={each} marks={marks} /></Guard>];
    const shown = unfolded ? each.panels : [];
    return [
      <Row key={each.id} row={each} folded={each.collapsed && !unfolded} />,
      ...shown.map((panel) => <Guard key={panel.id}><Panel panel={panel} marks={marks} /></Guard>),
    ];
  });
}

const { panels, annotations } = await (await fetch(board)).json();
const found = await marks(annotations.list);
document.body.style.background = theme.colors.background.canvas;
createRoot(document.getElementById('root')).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Board panels={panels} marks={found} />
    <PortalContainer />
  </ThemeContext.Provider>,
);
