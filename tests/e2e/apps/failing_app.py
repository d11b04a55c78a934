"""One question that is answered, and one that is not."""

from openai import BadRequestError, OpenAI

from orq_otel import thread

client = OpenAI(max_retries=0)
question = {"role": "user", "content": "Where is my order?"}

with thread("order-1001", tags=["orders", "größe"]):
    client.chat.completions.create(model="gpt-4o-mini", messages=[question])
    try:
        client.chat.completions.create(model="", messages=[question])
    except BadRequestError as error:
        print(error.status_code)  # noqa: T201
