"""Pages of HTML that need no other file: their Jinja environment, look, figures, small pictures and
chart geometry.

What a page says, and its template, lie beside the room that it tells of. Nothing here knows a job.
"""
