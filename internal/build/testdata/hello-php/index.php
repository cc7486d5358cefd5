<?php
echo "hello from PHP " . PHP_VERSION . "\n";
