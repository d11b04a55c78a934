"""What the examples run against instead of the world outside, and what shows what they did.

`python3 run.py example user_sessions` runs a program with them. `model_server` answers like the
API of OpenAI and `orq_api` like Orq's, and `otlp_receiver` takes spans in. Tests and benchmarks use
them as well.
"""
