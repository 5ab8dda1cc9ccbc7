# The class takes orders and has no process_order, and nothing makes one: both are here, and how it is told to end.

# guide: consumer


class Orders(BatchOrderConsumer):
    def process_order(self, order):
        print(f"Processing order: {order['order_id']}")
        if order["order_id"] == "ORD-13":
            raise ValueError("nobody can process it")


try:
    Orders({
        "bootstrap.servers": "{address}",
        "group.id": "batch-order-processor",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }).run()
except KeyboardInterrupt:
    pass
