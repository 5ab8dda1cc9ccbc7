"""Which broker is asked."""


def pytest_addoption(parser):
    parser.addoption("--kafka", action="store_true", help="against Apache Kafka instead")
