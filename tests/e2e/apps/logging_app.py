"""Logs inside and outside of threads with the standard library's logging."""

import logging
from concurrent.futures import ThreadPoolExecutor

from orq_otel import bind, thread

logger = logging.getLogger("shop")

logger.warning("opening")
with thread("order-1001", tags=["orders", "größe"]), ThreadPoolExecutor() as pool:
    logger.warning("no stock of %s", "shoes")
    pool.submit(bind(logger.error), "supplier is down").result()
with thread("web-77"):
    logger.warning("slow answer")
logger.warning("closing")
