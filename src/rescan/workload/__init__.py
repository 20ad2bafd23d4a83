"""How much work the jobs of a study are, from the resolved study and the data's size; and how long that takes."""
