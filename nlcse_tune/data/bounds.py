"""How much of anything is read: the bounds of docs/data.md, past which a file is refused and named."""

LINE = 100_000  # characters of a line of text, or of a cell of a CSV file
PICTURE_BYTES = 200_000_000  # of a file
PIXELS = 64_000_000  # of a picture, before it is decoded: 4 bytes each in memory
CLIP_SECONDS = 60  # that are read of a clip, of which the first 10.3 are used
SHORTEST_CLIP = 0.1  # seconds; the filter bank has a window of 25 ms
RATES = (4_000, 192_000)  # Hz
COMMON_FACTOR = 25  # at least, of a clip's rate and 16,000 Hz: with 1, the resampling filter alone takes gigabytes
CHANNELS = 8
LOUDEST = 1e9  # a sample; full scale is 1, but some write floats on the scale of integers
UNPACKED_BYTES = 2_000_000_000  # of an archive
UNPACKED_RATIO = 50  # times an archive's own size
