# A producer of the library whose call the line is.
from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers="{address}", key_serializer=str.encode, value_serializer=str.encode)

# guide: send

producer.close()
