"""The console: one page that shows how a service is, live, and lets people act."""
