# How the sanitizers behave in scripts/sanitize and scripts/fuzz. For `source`.
#   detect_odr_violation=0       abseil and gRPC come uninstrumented, with their own copies of inline data
#   detect_container_overflow=0  as do containers that cross into them
#   allocator_may_return_null=1  a huge allocation fails as it does without a sanitizer: by an exception
symbolizer=external_symbolizer_path=$(command -v llvm-symbolizer-19)
export ASAN_OPTIONS=detect_odr_violation=0:detect_container_overflow=0:allocator_may_return_null=1:$symbolizer
export UBSAN_OPTIONS=print_stacktrace=1:$symbolizer
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:$symbolizer
