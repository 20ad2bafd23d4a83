"""Images that the project makes itself, with known classes and lesion masks, in the real data sets' layouts."""
