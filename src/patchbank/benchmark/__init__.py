"""Methods x categories x shots x seeds: measured in processes of their own, resumed after a kill.

Nothing is imported here: a worker chooses its cores before anything heavy counts them.
"""
