// A conversation of two turns, sent by OpenTelemetry's SDK for JavaScript with all signals on.

import { metrics, SpanStatusCode, trace } from "@opentelemetry/api";
import { logs } from "@opentelemetry/api-logs";
import { NodeSDK } from "@opentelemetry/sdk-node";

const sdk = new NodeSDK({ serviceName: "support-js" });
sdk.start();

const tracer = trace.getTracer("conversation", "1.0.0");
for (const turn of [1, 2]) {
  tracer.startActiveSpan("turn", (parent) => {
    const attributes = {
      "thread.id": "ticket-js",
      "thread.tags": ["js", "support"],
      "gen_ai.operation.name": "chat",
      "gen_ai.response.model": "gpt-4o-mini",
      "gen_ai.usage.input_tokens": 100 * turn,
      "gen_ai.usage.output_tokens": 10,
      "app.ratio": 0.5,
      "app.cached": turn === 2,
    };
    const span = tracer.startSpan("chat gpt-4o-mini", { kind: 2, attributes });
    span.addEvent("token", { index: 1 });
    if (turn === 2) span.setStatus({ code: SpanStatusCode.ERROR, message: "timed out" });
    span.end();
    parent.end();
  });
}
metrics.getMeter("conversation").createCounter("turns").add(2);
logs.getLogger("conversation").emit({ body: "two turns" });

await sdk.shutdown();
