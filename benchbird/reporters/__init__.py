"""One file a report format, each a plugin that renders a leaderboard as text."""
