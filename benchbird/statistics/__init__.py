"""What scores allow to conclude: intervals, differences, rankings and how much more data would decide.

Owns the mathematics on arrays and floats; it reads no record, knows no segmenter and prints nothing. The unit
of chance is the seed and the recording, never the image: images of one recording are one cluster.
"""
