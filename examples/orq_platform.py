"""A Deployment, an Agent and the AI Router of Orq in one thread, on both sides."""

import os

from openai import OpenAI
from orq_ai_sdk import Orq

from orq_otel import configure, thread

api_key = os.environ["ORQ_API_KEY"]
url = os.environ.get("ORQ_BASE_URL", "https://api.orq.ai")

configure(service_name="orq-platform")
orq = Orq(api_key=api_key, server_url=url)
router = OpenAI(api_key=api_key, base_url=f"{url}/v3/router")

with thread("order-88", tags=["shop"], user="ada"):
    orq.deployments.invoke(key="greeting", inputs={"name": "Ada"})
    orq.responses.create(model="agent/stock-keeper", input="Are there lamps left?")
    router.chat.completions.create(
        model="openai/gpt-5-mini",
        messages=[{"role": "user", "content": "Write the confirmation."}],
    )
