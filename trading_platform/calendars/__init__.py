"""When the exchange is open: sessions, half days, pre-market and after-hours, and the minutes within a session.

Exchange time lives here and nowhere else: every other room speaks UTC. Nothing here knows of bars or of the present.
"""
