"""What the examples run against instead of the world outside, and what shows what they did.

A program is run with them like this, in the folder `examples`:

    python -m stand_ins user_sessions.py

`model_server` answers like the API of OpenAI and `orq_api` like Orq's, and `otlp_receiver` takes
spans in. Tests and benchmarks use them as well.
"""
