"""Networks: encoders without their heads, necks, and the network that joins them with named heads."""
