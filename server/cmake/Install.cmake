# What `cmake --install` puts in place, under any prefix; it can be moved afterwards:
#   bin/prefscore-server, bin/prefscore
#   lib/prefscore/            the libraries of the torch wheel that the server loads
#   lib/systemd/system/       the unit, for this prefix
#   share/doc/prefscore/      the licence, how to configure, examples
# Other libraries come from the distribution: deploy/docker/runtime-packages.txt names their packages.

install(TARGETS prefscore-server prefscore RUNTIME DESTINATION bin)
set_target_properties(prefscore-server PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/prefscore")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/deploy/CONFIGURATION.md
  DESTINATION share/doc/prefscore)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/config DESTINATION share/doc/prefscore)
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/gpu.conf DESTINATION share/doc/prefscore/systemd)
install(CODE "set(unit \"${PROJECT_SOURCE_DIR}/deploy/systemd/prefscore-server.service.in\")")
install(CODE [[
  configure_file(${unit} "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/systemd/system/prefscore-server.service" @ONLY)
]])

# The wheel's libraries find each other in their own folder, too: it is in the RPATH of each.
set(wheel_libraries
  ${PREFSCORE_TORCH_DIR}/lib/libtorch_cpu.so
  ${PREFSCORE_TORCH_DIR}/lib/libc10.so
  ${PREFSCORE_TORCH_DIR}/lib/libgomp.so.1
  ${PREFSCORE_TORCH_DIR}/../nvidia/cu13/lib/libcudart.so.13
  ${PREFSCORE_TORCH_DIR}/../nvidia/cu13/lib/libcupti.so.13)
if(PREFSCORE_CUDA)
  list(APPEND wheel_libraries
    ${PREFSCORE_TORCH_DIR}/lib/libtorch_cuda.so
    ${PREFSCORE_TORCH_DIR}/lib/libc10_cuda.so
    ${PREFSCORE_TORCH_DIR}/lib/libtorch_nvshmem.so)
  # Of the CUDA libraries, those that are here when it is installed (scripts/setup --cuda-libraries), without profilers.
  install(CODE "set(nvidia \"${PREFSCORE_TORCH_DIR}/../nvidia\")")
  install(CODE [[
    file(GLOB libraries ${nvidia}/*/lib/lib*.so.[0-9]*)
    list(FILTER libraries EXCLUDE REGEX "/lib(nvperf|pcsampling|checkpoint|cudart|cupti)[^/]*$")
    file(INSTALL ${libraries} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/prefscore)
    if(NOT libraries MATCHES "/libcublas\\.so")
      message(WARNING "no CUDA libraries in ${nvidia}: what is installed does not start before they are on its library "
        "path; scripts/setup --cuda-libraries brings them")
    endif()
  ]])
endif()
install(FILES ${wheel_libraries} DESTINATION lib/prefscore)
