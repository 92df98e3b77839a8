"""The embedded data set: bird song made from a seed, rendered as the public set is, with exact masks.

Nothing is imported here: naming the samples must not cost what making them needs (scipy).
"""
