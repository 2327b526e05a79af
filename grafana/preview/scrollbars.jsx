// @grafana/ui wants a package for scroll bars that does not know React 19. A picture has none.
export default function Scrollbars({ children }) {
  return <div style={{ height: '100%', overflow: 'hidden' }}>{children}</div>;
}
export { Scrollbars };
