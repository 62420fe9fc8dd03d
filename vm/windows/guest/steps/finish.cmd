@echo off
rem Nothing of the set-up stays: no autologon, no password, no second key, and at last no Run value.
setlocal
set "LOGON=HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon"
reg add "%LOGON%" /v AutoAdminLogon /t REG_SZ /d 0 /f || goto :failed
for %%v in (DefaultPassword AutoLogonCount AutoLogonSID) do call :forget "%LOGON%" %%v || goto :failed
rem Setup's copies of the answer file.
for %%f in ("%SystemRoot%\Panther\unattend.xml" "%SystemRoot%\Panther\Unattend\unattend.xml" "%SystemRoot%\System32\Sysprep\unattend.xml") do (
    if exist "%%~f" del /f /q "%%~f"
    if exist "%%~f" exit /b 5
)
for %%d in (ssh openssh) do (
    if exist "%KSHS%\%%d\." rmdir /s /q "%KSHS%\%%d"
    if exist "%KSHS%\%%d\." exit /b 5
)
call :forget HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run kshs || goto :failed
exit /b 0

rem %1 a key, %2 a value in it, which need not be there.
:forget
reg query %1 /v %2 >nul 2>&1
if errorlevel 1 exit /b 0
reg delete %1 /v %2 /f
exit /b %errorlevel%

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
