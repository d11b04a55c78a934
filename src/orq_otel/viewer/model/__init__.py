"""The data classes that the viewer's rooms share.

Times are nanoseconds since the epoch, as in OTLP. The API and the pages turn them into text.
"""
