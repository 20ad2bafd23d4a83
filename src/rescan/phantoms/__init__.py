"""Images that the project makes itself, with known classes and lesion masks, in the real data sets' layouts."""

VERSION = 1  # raised by hand when the images of any phantom change, so that they are made again
