"""What a span says, whoever sent it: one module for each convention that senders follow.

Each dialect is a row of the table in `table.py`: the marks by which its spans are known, the names
of its attributes, and pure functions for what stands inside of JSON. All of them answer with the
same facts, and with messages in the form of the GenAI conventions.
"""
