"""What turns a sample into network inputs: operators by name, the process pool's pass, the packed store."""
