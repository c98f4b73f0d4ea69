"""Further good photographs for a fitted detector: learned without those that it was fitted on.

updating     `updated`: from a detector and photographs to the new detector
request      what is asked: photographs, regions said to be normal, limits, who and why
photographs  which of the photographs are learned: they can be read, and are not known yet
members      each member learns them, and says what it thought of them before
joining      their left-out scores, names and traits join those of the photographs before
normal       photographs said to be normal: no more of them is learned than lets them pass
"""
