"""What another team's program looks like: it has the stubs and gRPC, and nothing else of Florin.

Run as `python buy_with_stubs.py EDGE MERCHANT SKU` with a buyer's token on standard input; prints the order's
id and how it ended.
"""

import sys

import grpc
from florin.common.v1.charge_pb2 import StockLine
from florin.order.v1.order_pb2 import Order
from florin.order.v1.order_service_pb2 import CreateCheckoutRequest, WatchOrderRequest
from florin.order.v1.order_service_pb2_grpc import OrderServiceStub

# For the whole way of an order, e-mail included.
DEADLINE_S = 60.0


def buy(edge: str, merchant_id: str, sku: str, token: str) -> Order:
    """Place a checkout and watch it to its end."""
    with grpc.insecure_channel(edge) as channel:
        stub = OrderServiceStub(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        request = CreateCheckoutRequest(
            merchant_id=merchant_id,
            items=[StockLine(sku=sku, quantity=1)],
            currency="EUR",
            payment_method_id="pm_card_visa",
            request_id="bought-with-stubs",
        )
        order: Order = stub.CreateCheckout(request, metadata=metadata, timeout=DEADLINE_S)
        for change in stub.WatchOrder(WatchOrderRequest(id=order.id), metadata=metadata, timeout=DEADLINE_S):
            order = change
    return order


if __name__ == "__main__":
    bought = buy(sys.argv[1], sys.argv[2], sys.argv[3], token=sys.stdin.read().strip())
    print(bought.id, Order.Status.Name(bought.status))
