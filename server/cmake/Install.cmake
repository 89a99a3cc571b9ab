# What `cmake --install` puts in place, under any prefix; it can be moved afterwards:
#   bin/prefscore-server, bin/prefscore
#   lib/prefscore/            the libraries of the torch wheel that the server loads
#   lib/systemd/system/       the unit, for this prefix
#   lib/sysusers.d/           the group that may read keys and models
#   share/doc/prefscore/      the licence, and deploy/: pages for operators, examples, alert rules, dashboards, the chart
# Other libraries come from the distribution: deploy/docker/runtime-packages.txt names their packages.

install(TARGETS prefscore-server prefscore RUNTIME DESTINATION bin)
set_target_properties(prefscore-server PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/prefscore")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION share/doc/prefscore)
# The whole folder, for its pages lead to each other. (The context that images are built from lacks parts of it.) By kinds
# of files, so that no key or token goes along that somebody put there.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/deploy/ DESTINATION share/doc/prefscore FILES_MATCHING
  REGEX "\\.(md|toml|yml|yaml|json|jsonl|tpl|txt|conf|in|jinja|safetensors)$" REGEX "/(Dockerfile|prefscore/rules)$")
install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME prefscore.conf)
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
