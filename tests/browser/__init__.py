"""What looks at the status page in a browser: what judges it, and what takes its pictures."""
