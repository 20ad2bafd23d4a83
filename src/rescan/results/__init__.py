"""What one step writes and another reads: a frozen model per JSON file, a declared table per CSV file.

Every file is written and read through its declaration, so that a damaged one ends in one line that names the file, what
is wrong and the step that makes it anew.
"""
